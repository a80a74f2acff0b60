"""How anything is shown: console, tables, words."""
