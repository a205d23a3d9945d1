"""The loss and its gradient in closed form: what the formulas of ``attention`` come to by hand."""
