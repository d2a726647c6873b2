"""Pure policies: what kind of failure is this, what to do now, after how long. No await, no clock, no randomness of their own."""
