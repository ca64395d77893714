"""Everything there is to know about the engine on a GPU, by one command on a bare machine: `python -m bench.gpu`.

`__main__` needs nothing but Python: it builds the package, then runs every section of `plan` in a process of its own, so
that a section which fails, crashes or is slow takes nothing with it, and writes the report anew after each.
`python -m bench.gpu --device cpu --tiny` rehearses all of it where there is no GPU.
"""
