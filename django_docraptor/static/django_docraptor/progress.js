/* Keep each {% document_progress %} up to date. Without this file, its link leads to the page that does. */
"use strict";

(() => {
    const MAX_FAILURES = 10; // in a row, such as while a laptop sleeps
    const MAX_DELAY = 60; // seconds

    const follow = (root) => {
        const label = root.querySelector(".docraptor-label");
        const message = root.querySelector(".docraptor-message");
        const link = root.querySelector(".docraptor-link");
        let failures = 0;

        const show = (element, text) => {
            if (element && element.textContent !== text) element.textContent = text;
        };

        const schedule = (seconds) => {
            if (root.isConnected) setTimeout(check, Math.min(MAX_DELAY, seconds || 1) * 1000);
        };

        const check = async () => {
            if (document.hidden) {
                document.addEventListener("visibilitychange", check, { once: true });
                return;
            }
            try {
                const response = await fetch(root.dataset.docraptorStatusUrl, {
                    headers: { Accept: "application/json" },
                    credentials: "same-origin",
                });
                if (!response.ok) throw new Error(`HTTP ${response.status}`);
                const status = await response.json();
                failures = 0;
                show(label, status.label);
                show(message, status.message);
                root.dataset.docraptorStage = status.stage;
                if (status.download_url && link) {
                    link.href = status.download_url;
                    show(link, root.dataset.docraptorDownload);
                }
                if (!status.is_final) schedule(Number(response.headers.get("Retry-After")));
                root.dispatchEvent(new CustomEvent("docraptor:status", { bubbles: true, detail: status }));
            } catch {
                failures += 1;
                if (failures < MAX_FAILURES) schedule(2 ** failures);
            }
        };

        schedule(Number(root.dataset.docraptorRefresh));
    };

    document.querySelectorAll("[data-docraptor-status-url]").forEach(follow);
})();
