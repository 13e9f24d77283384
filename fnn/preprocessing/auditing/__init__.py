"""The audit of a data set: `audit` asks, `features` and `targets` look, `report` is what comes back."""
