// The pages that a user sees: at the authorization server sign in and consent, and at the provider of the project's sign-in.
import { projectsOf } from "./projects.mjs";

const STYLE = `
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
  body { max-width: 26rem; margin: 12vh auto; padding: 0 1rem }
  input, button { font: inherit; padding: .5rem .75rem }
  input { display: block; width: 100%; box-sizing: border-box; margin: .25rem 0 1rem }
  small { opacity: .75 }`;

/** Sign in: any name will do, and it needs no password. */
export function signInPage({ client }) {
  return page(
    "Sign in",
    `<p>to continue to <strong>${escape(client)}</strong></p>
    <form method="post">
      <label>Login name <input name="login" value="demo" required maxlength="64" autofocus autocomplete="off"></label>
      <button>Sign in</button>
    </form>
    <p><small>A local stand-in for Supabase's sign-in. <code>demo</code> has one project, <code>two</code> has two,
    <code>none</code> has none, any other name has one project of that name.</small></p>`,
  );
}

/** Consent: what is granted, and to whom. */
export function consentPage({ client, login }) {
  const projects = projectsOf(login).map(({ name }) => `<li>${escape(name)}</li>`);
  return page(
    `Authorize ${escape(client)}`,
    `<p><strong>${escape(client)}</strong> wants access to the projects of <strong>${escape(login)}</strong>:</p>
    <ul>${projects.join("") || "<li>none</li>"}</ul>
    <form method="post">
      <button name="decision" value="authorize" autofocus>Authorize</button>
      <button name="decision" value="cancel">Cancel</button>
    </form>`,
  );
}

/** Sign in to the project: any address will do. */
export function providerPage() {
  return page(
    "Continue with GitHub",
    `<form method="post">
      <label>Email address <input name="email" type="email" value="demo@example.com" required maxlength="254" autofocus></label>
      <button name="decision" value="authorize">Continue</button>
      <button name="decision" value="cancel" formnovalidate>Cancel</button>
    </form>
    <p><small>A local stand-in for GitHub, at which users of the Supabase project sign in.</small></p>`,
  );
}

/** What went wrong, when there is nowhere to send the user back to. */
export function errorPage({ error, error_description: description = "" }) {
  return page("Something went wrong", `<p>${escape(error)}</p><p>${escape(description)}</p>`);
}

function page(title, body) {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
    <title>${title}</title><style>${STYLE}</style><h1>${title}</h1>${body}</html>`;
}

function escape(text) {
  return String(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
