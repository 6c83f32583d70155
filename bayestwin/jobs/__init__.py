"""Unattended work: the demo, and what a program that runs again and again needs (compiled code kept on disk)."""
