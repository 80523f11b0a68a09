// A browser's cookie jar, for tests that drive a flow without a browser.

/** Cookies by host, as a browser keeps them: the port is no part of where a cookie belongs. */
export class CookieJar {
  #cookies = new Map();

  /** The Cookie header for this URL, or undefined. */
  header(url) {
    const { hostname, pathname } = new URL(url);
    const pairs = [...this.#cookies.values()]
      .filter((cookie) => cookie.host === hostname && covers(cookie.path, pathname))
      .map(({ name, value }) => `${name}=${value}`);
    return pairs.length ? pairs.join("; ") : undefined;
  }

  /** Takes what a response to this URL sets. */
  take(url, response) {
    const { hostname, pathname } = new URL(url);
    for (const line of response.headers.getSetCookie()) {
      const [pair, ...attributes] = line.split(";").map((part) => part.trim());
      const split = pair.indexOf("=");
      const name = pair.slice(0, split);
      const attribute = (wanted) =>
        attributes.find((text) => text.toLowerCase().startsWith(`${wanted}=`))?.slice(wanted.length + 1);
      const path = attribute("path") ?? (pathname.slice(0, pathname.lastIndexOf("/")) || "/");
      const key = `${hostname} ${path} ${name}`;
      const expires = attribute("expires");
      const gone = Number(attribute("max-age") ?? 1) <= 0 || (expires && Date.parse(expires) <= Date.now());
      if (gone) this.#cookies.delete(key);
      else this.#cookies.set(key, { host: hostname, path, name, value: pair.slice(split + 1) });
    }
  }

  /** The value of a cookie, or undefined. */
  get(name) {
    return [...this.#cookies.values()].find((cookie) => cookie.name === name)?.value;
  }

  /** A jar with the same cookies that goes its own way. */
  clone() {
    const jar = new CookieJar();
    jar.#cookies = new Map(this.#cookies);
    return jar;
  }

  /** fetch with this jar's cookies; redirects are not followed. */
  async fetch(url, { headers, ...init } = {}) {
    const cookie = this.header(url);
    const response = await fetch(url, { redirect: "manual", ...init, headers: { ...headers, ...(cookie && { cookie }) } });
    this.take(url, response);
    return response;
  }
}

/** RFC 6265, section 5.1.4. */
function covers(cookiePath, path) {
  return path === cookiePath || (path.startsWith(cookiePath) && (cookiePath.endsWith("/") || path[cookiePath.length] === "/"));
}
