"""The model catalogue (torch-free) and one network file per published system."""
