"""The loss and its gradient in closed form, as ``amad_torch.closed_form`` has them: faster."""
