"""From configuration to objects. Only `build` imports anything heavy."""
