"""``python -m example_project.demo.serve``: keep the site running for a browser, until Ctrl-C."""

import sys

from example_project.demo.processes import (
    LOGS,
    Processes,
    argument_parser,
    main,
    print_status,
    start_site,
)

# Seconds until all processes must be ready.
START_TIMEOUT = 60


def serve() -> None:
    """Start the site, print the logins, wait."""
    options = argument_parser(__doc__, port=8000).parse_args()
    LOGS.mkdir(parents=True, exist_ok=True)
    with Processes(START_TIMEOUT) as processes:
        site = start_site(
            processes, port=options.port, sandbox_port=options.sandbox_port, delay=options.delay
        )
        processes.run("seed", "-m", "django", "seed_shop")
        print_status("customer", f"{site}/")
        print_status("admin", f"{site}/admin/")
        print_status("ready", "press Ctrl-C to stop")
        processes.watch()


if __name__ == "__main__":
    sys.exit(main(serve))
