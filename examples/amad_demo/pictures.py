"""How the methods look in every picture."""

# Okabe and Ito's palette can be told apart with any kind of colour vision.
METHOD_COLOURS = {"answers": "#4D4D4D", "one-to-one": "#E69F00", "amad": "#0072B2"}
METHOD_MARKERS = {"answers": "o", "one-to-one": "s", "amad": "^"}
TEACHER_COLOUR, BLIND_COLOUR = "#009E73", "#CC79A7"
