"""What is decided: one folder for each kind of decision, its contract in `contract.py`."""
