"""What `evaluate` leaves: what is known of a model, its rows beside the published ones, and the report of them."""
