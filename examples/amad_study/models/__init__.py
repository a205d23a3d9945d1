"""The study's models: BLIP and VL-T5, their teachers, and the gate that a teacher has to pass."""
