"""The programs that painted the styles which stand ready, and the README's own.

`python -m painters` paints them all again into app/styles/ready; `python -m painters NAME ...` only some.
"""
