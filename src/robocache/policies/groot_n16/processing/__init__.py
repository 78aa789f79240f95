"""Between robot data and the network of GR00T N1.6, both ways.

`processor.py` puts the parts together: `modality.py` (what an embodiment reads and gives),
`statistics.py`, `state_action.py`, `images.py`, `augment.py`, `text.py`. What differs from the
public implementation is in `compat.py`.
"""
