"""Clients of engines that run as servers of their own; torch-free."""
