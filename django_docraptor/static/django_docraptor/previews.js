/* Reload a preview when its document or a template has changed. Without this file, the link does. */
"use strict";

(() => {
    const MIN_DELAY = 1000, MAX_DELAY = 10000; // milliseconds between two requests
    const SHARE = 5; // a request may occupy the server for a fifth of the time
    const MAX_DIFFERENT = 3; // renderings in a row that differ by themselves
    const TIMEOUT = 120000; // milliseconds, for a large document

    const root = document.querySelector("[data-state-url]");
    const control = root.querySelector("[data-live-control]");
    const checkbox = control.querySelector("input");
    const message = root.querySelector("[data-message]");
    let shown = { output: root.dataset.output, templates: root.dataset.templates };
    let etag = "", delay = MIN_DELAY, different = 0, timer = 0, currentPage = "", isBusy = false;

    const say = (text) => {
        if (message.textContent !== text) message.textContent = text;
    };

    const request = (url, headers = {}) =>
        fetch(url, { headers, credentials: "same-origin", signal: AbortSignal.timeout(TIMEOUT) });

    const schedule = () => {
        clearTimeout(timer);
        if (checkbox.checked && !document.hidden) timer = setTimeout(check, delay);
    };

    const hasChanged = (state) => {
        if (state.templates !== shown.templates) {
            different = 0;
            return true;
        }
        if (state.output === shown.output) {
            different = 0;
            return false;
        }
        different += 1;
        if (different > MAX_DIFFERENT) {
            say("This document differs each time it is rendered. It is reloaded when a template changes.");
            return false;
        }
        return true;
    };

    const markPage = () => {
        for (const link of root.querySelectorAll("[data-page]")) {
            if (link.dataset.page === currentPage) link.setAttribute("aria-current", "true");
            else link.removeAttribute("aria-current");
        }
    };

    const replaceRegions = (page) => {
        const next = page.querySelector("[data-state-url]");
        for (const region of root.querySelectorAll("[data-region]")) {
            const found = next.querySelector(`[data-region="${region.dataset.region}"]`);
            const link = found.querySelector(`[data-page="${currentPage}"]`);
            if (link) found.querySelector("iframe").setAttribute("src", link.getAttribute("href"));
            if (region.innerHTML !== found.innerHTML || found.querySelector("iframe")) {
                region.replaceChildren(...found.childNodes);
            }
        }
        shown = { output: next.dataset.output, templates: next.dataset.templates };
        markPage();
    };

    const reload = async () => {
        const response = await request(location.href);
        if (!response.ok) throw new Error(response.statusText);
        replaceRegions(new DOMParser().parseFromString(await response.text(), "text/html"));
        say(`Reloaded at ${new Date().toLocaleTimeString()}.`);
    };

    const check = async () => {
        if (isBusy) return;
        isBusy = true;
        const began = performance.now();
        try {
            const headers = etag ? { "If-None-Match": etag } : {};
            const response = await request(root.dataset.stateUrl, headers);
            if (response.status === 404) {
                say("This preview is no longer available. Reload the page.");
                checkbox.checked = false;
            } else if (response.status !== 304) {
                if (!response.ok) throw new Error(response.statusText);
                const state = await response.json();
                if (hasChanged(state)) await reload();
                etag = response.headers.get("ETag") || "";
            }
            delay = Math.min(MAX_DELAY, Math.max(MIN_DELAY, SHARE * (performance.now() - began)));
        } catch (error) {
            say("The server does not respond. Trying again …");
            etag = "";
            delay = Math.min(MAX_DELAY, 2 * delay);
        }
        isBusy = false;
        schedule();
    };

    root.addEventListener("click", (event) => {
        const link = event.target.closest("[data-page]");
        if (!link) return;
        currentPage = link.dataset.page;
        markPage();
    });
    checkbox.addEventListener("change", schedule);
    document.addEventListener("visibilitychange", () => {
        delay = MIN_DELAY;
        schedule();
    });
    control.hidden = false;
    schedule();
})();
