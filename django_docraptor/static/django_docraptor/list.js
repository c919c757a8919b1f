/* Refresh the rows and the numbers of the job list. Without this file the list is as it was loaded. */
"use strict";

(() => {
    const TIMEOUT = 30000; // milliseconds
    const bar = document.querySelector("[data-docraptor-refresh]");
    if (!bar) return;
    const delay = Number(bar.dataset.docraptorRefresh) * 1000;
    const message = bar.querySelector("[data-docraptor-text]");
    const button = bar.querySelector("button");
    const key = "django_docraptor.list.paused";
    let timer = 0;

    const isPaused = () => sessionStorage.getItem(key) === "1";
    const boxes = (table) => [...table.querySelectorAll("input.action-select")];

    const say = () => {
        const time = new Date().toLocaleTimeString(document.documentElement.lang || undefined);
        message.textContent = isPaused()
            ? bar.dataset.paused : bar.dataset.refreshed.replace("%(time)s", time);
        button.textContent = isPaused() ? bar.dataset.resume : bar.dataset.pause;
    };

    /* Django's script for actions has a list of the checkboxes: they stay, and get other rows. */
    const replaceRows = (table, next) => {
        const old = boxes(table), rows = [...next.tBodies[0].rows];
        const byValue = new Map(old.map((box) => [box.value, box]));
        const wanted = rows.map((row) => row.querySelector("input.action-select"));
        const gone = old.filter((box) => !wanted.some((each) => each && each.value === box.value));
        const vanished = gone.filter((box) => box.checked).length > 0;
        for (const box of gone) box.checked = false;
        for (const each of wanted) {
            if (!each) continue;
            const box = byValue.get(each.value) || gone.pop();
            if (!box) continue;
            box.value = each.value;
            box.setAttribute("aria-label", each.getAttribute("aria-label") || "");
            each.replaceWith(box);
            box.closest("tr").classList.toggle("selected", box.checked);
        }
        table.tBodies[0].replaceChildren(...rows);
        if (vanished) boxes(table)[0]?.dispatchEvent(new Event("change", { bubbles: true }));
    };

    const hasSameBoxes = (table, next) => {
        const count = boxes(next).length;
        return count === boxes(table).length || count === 0;
    };

    const isBusy = (table) =>
        document.activeElement.matches("input, select, textarea")
        || (table !== null && boxes(table).some((box) => box.checked));

    const replaceRegions = (page) => {
        for (const region of document.querySelectorAll("[data-docraptor-live]")) {
            if (region.contains(document.activeElement)) continue;
            const found = page.querySelector(`[data-docraptor-live="${region.dataset.docraptorLive}"]`);
            if (found && found.innerHTML !== region.innerHTML) region.replaceChildren(...found.childNodes);
        }
    };

    const refresh = async () => {
        try {
            const response = await fetch(location.href, {
                credentials: "same-origin", signal: AbortSignal.timeout(TIMEOUT),
            });
            const page = new DOMParser().parseFromString(await response.text(), "text/html");
            // Another page is the login page, or an error's.
            if (!page.querySelector("[data-docraptor-refresh]")) throw new Error("no list");
            const table = document.querySelector("#result_list");
            const next = page.querySelector("#result_list");
            const focused = table && table.contains(document.activeElement);
            if (Boolean(table) !== Boolean(next) || (table && !hasSameBoxes(table, next))) {
                // There are more or fewer checkboxes: load the page, unless it is in use.
                if (!isBusy(table)) return location.reload();
            } else if (table && !focused && !isPaused()) {
                replaceRows(table, next);
            }
            replaceRegions(page);
            say();
        } catch {
            /* The next time may succeed. The time of the last success stays. */
        }
        schedule();
    };

    const schedule = () => {
        clearTimeout(timer);
        if (!isPaused() && !document.hidden) timer = setTimeout(refresh, delay);
    };

    button.addEventListener("click", () => {
        sessionStorage.setItem(key, isPaused() ? "0" : "1");
        say();
        schedule();
    });
    document.addEventListener("visibilitychange", schedule);
    bar.hidden = false;
    say();
    schedule();
})();
