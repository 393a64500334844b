"""`python -m kogia.main`: the same command line as the installed `kogia`."""

from kogia.main.entry import main

raise SystemExit(main())
