"""Trainings killed at random moments, resumed, and held to one that was left alone."""
