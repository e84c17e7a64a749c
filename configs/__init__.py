"""Settings, as Hydra groups that mirror the folders of the code."""
