"""The inspector: a run on the screen, stepped forwards and backwards (docs/inspector.md).

`session` owns the run, in its own thread. `model` makes plain rows of text from it, which `app` and `panes` draw. Keys
call `actions`.
"""
