"""The label-efficiency study: its `trials`, side by side, and the `report` of what they came to."""
