// What somebody sees who is not signed in.
import { Rose } from "./icons";
import { signInAddress } from "./session";

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
