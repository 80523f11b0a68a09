// The example's pages.

const escape = (text) => String(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

const page = (title, body) => `<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>${escape(title)} · Example</title>
  <link rel="icon" href="data:,">
  <script type="module" src="/page.js"></script>
</head>
<body>
  <main>
    <h1>${escape(title)}</h1>
    ${body}
  </main>
</body>
</html>
`;

export const signInPage = () => page("Sign in", `
    <form method="post" action="/sign-in">
      <label>Your name <input name="name" required maxlength="50" autocomplete="username"></label>
      <button>Sign in</button>
    </form>`);

export const homePage = ({ user, integrations }) => page("Your accounts", `
    <p>You are ${escape(user.name)}, a user of this application alone.</p>
    <ul aria-label="Accounts">${integrations.map(({ id, name }) => `
      <li>${escape(name)}
        <form method="post" action="/use"><input type="hidden" name="id" value="${escape(id)}"><button>Use ${escape(name)}</button></form>
      </li>`).join("")}
    </ul>
    <p>
      <button id="redirect" type="button">Connect an account</button>
      <button id="popup" type="button">Connect in a popup</button>
    </p>
    <p id="status" role="status"></p>`);

export const connectedPage = ({ name }) => page("Connected", `
    <p>${escape(name)} is connected. If this is a popup, close it.</p>
    <p><a href="/">Your accounts</a></p>`);

export const usedPage = (projects) => page("What the provider says", `
    <ul aria-label="Projects">${projects.map(({ name }) => `<li>${escape(name)}</li>`).join("")}</ul>
    <p><a href="/">Your accounts</a></p>`);

export const failurePage = (text) => page("That did not work", `
    <p>${escape(text)}</p>
    <p><a href="/">Your accounts</a></p>`);
