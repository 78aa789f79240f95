"""`python -m robocache`, which `torchrun -m robocache` needs."""

from robocache.cli.main import main

main()
