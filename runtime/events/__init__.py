"""Typed events: the closed union, the plan, messages, the envelope, bytes and folds. Knows no other room."""
