"""Numbered steps; the greatest number is what this program needs."""
