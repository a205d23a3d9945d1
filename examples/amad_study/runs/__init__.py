"""The study's runs: methods, cells, and one student a cell, each written down as it is finished."""
