// What somebody sees who is not signed in, or is again.
import { useEffect } from "preact/hooks";
import { Rose } from "./icons";
import { signInAddress, signInAgainAddress } from "./session";

/** The way back in, in a tab beside the page. */
export function SignInAgain() {
  return (
    <a href={signInAgainAddress()} target="_blank">
      Sign in again
    </a>
  );
}

/** The tab that was opened to sign in again: it closes itself, where the browser lets it. */
export function SignedIn() {
  useEffect(() => window.close(), []);
  return (
    <main class="gate">
      <section class="card gate-card">
        <h1>You are signed in again</h1>
        <p class="lead">Close this tab, and go on where you were.</p>
        <p>
          <a class="button" href="/">
            To the catalog
          </a>
        </p>
      </section>
    </main>
  );
}

export function SignIn() {
  return (
    <main class="gate">
      <section class="card gate-card">
        <span class="gate-rose">
          <Rose />
        </span>
        <p class="eyebrow">Developer portal</p>
        <h1>Find an API, get a key, make a call</h1>
        <p class="lead">Sign in to see the APIs that your teams publish, and to ask for access.</p>
        <p>
          <a class="button main" href={signInAddress()}>
            Sign in
          </a>
        </p>
      </section>
    </main>
  );
}
