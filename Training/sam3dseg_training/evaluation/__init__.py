"""How good a model is: clicks on held-out cases, measures, tables, curves, pictures and a page to send."""
