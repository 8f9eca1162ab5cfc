"""What people look at after a run: one self-contained page, and the data card that goes with the rows."""
