"""What is built, installed and run as users have it."""
