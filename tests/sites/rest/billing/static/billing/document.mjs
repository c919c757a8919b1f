export async function fetchDocument(url, headers = {}, seconds = 120) {
  const deadline = Date.now() + seconds * 1000;
  while (Date.now() < deadline) {
    const response = await fetch(url, { headers: { Accept: "application/json", ...headers } });
    if (response.status !== 202) return response; // 200: the file; otherwise JSON that says why not
    const pause = Number(response.headers.get("Retry-After")) * 1000;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  throw new Error(`No document within ${seconds} seconds: ${url}`);
}
