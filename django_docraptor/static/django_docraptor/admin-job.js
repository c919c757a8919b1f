// The Copy buttons of a job's page. Without this script they stay hidden, and all else works.

"use strict";

(() => {
    const SECONDS_SHOWN = 2;

    async function copy(text, beside) {
        if (navigator.clipboard) {
            await navigator.clipboard.writeText(text);
            return;
        }
        // On a site without https there is no clipboard: select the text, and copy the selection.
        const range = document.createRange();
        range.selectNodeContents(beside);
        const selection = window.getSelection();
        selection.removeAllRanges();
        selection.addRange(range);
        document.execCommand("copy");
    }

    function prepare(button) {
        const label = button.textContent;
        button.hidden = false;
        button.setAttribute("aria-live", "polite");
        button.addEventListener("click", async () => {
            try {
                await copy(button.dataset.docraptorCopy, button.previousElementSibling);
            } catch {
                return;
            }
            button.textContent = button.dataset.docraptorCopied;
            setTimeout(() => {
                button.textContent = label;
            }, SECONDS_SHOWN * 1000);
        });
    }

    document.addEventListener("DOMContentLoaded", () => {
        document.querySelectorAll("[data-docraptor-copy]").forEach(prepare);
    });
})();
