"""How answers, captions and translations are scored, in percent."""
