"""What a day of many people would take."""
