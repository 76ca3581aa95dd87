"""The tool that checks a report."""
