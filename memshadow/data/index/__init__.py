"""Where vectors are compared. A cache of the store: whatever is here can be made again from there."""
