"""Sites with their power supply, and the ledger of what they emit."""
