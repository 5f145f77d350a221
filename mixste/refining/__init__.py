"""What is made better of a motion if its user chooses so: smooth, upright, on the ground. Pure functions of arrays."""
