"""Three tasks over scenes of real handwritten digits: questions, captions and translation."""
