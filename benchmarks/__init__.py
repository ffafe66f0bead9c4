"""How fast WebMACS is, beside the limit of the storage under it, measured in the same run."""
