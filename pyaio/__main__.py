"""``python -m pyaio``: run a program on pyaio loops, unchanged."""

from pyaio._main import main

main()
