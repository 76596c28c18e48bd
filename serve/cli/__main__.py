"""`python -m serve.cli`: the same as the installed `ragserve`."""

from serve.cli.main import main

main()
