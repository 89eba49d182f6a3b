// The pages of the developer portal: who is signed in, the bar at the top, and the page of the address.
import { effect } from "@preact/signals";
import { render, type ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { signedOut } from "./api";
import { Approvals } from "./approvals";
import { Bar } from "./bar";
import { Catalog } from "./catalog";
import { IdleNotice, watchIdle } from "./idle";
import { KeyPage } from "./key-page";
import { startLive } from "./live";
import { Manage } from "./manage";
import { MyKeys } from "./my-keys";
import { ProductPage } from "./product";
import { path } from "./route";
import { loadMe, me, meProblem, SIGNED_IN, tellSignedIn, watchSignIn } from "./session";
import { SignedIn, SignIn, SignInAgain } from "./sign-in";
import { Empty, Failure, Skeleton } from "./states";
import "./theme";
import { Toasts } from "./toasts";

const PAGES: [RegExp, string, (namespace: string, name: string) => ComponentChildren][] = [
  [/^\/$/, "Catalog", () => <Catalog />],
  [/^\/products$/, "Products", () => <Manage />],
  [/^\/products\/([^/]+)\/([^/]+)$/, "Product", (ns, name) => <ProductPage key={`${ns}/${name}`} {...{ ns, name }} />],
  [/^\/keys$/, "My keys", () => <MyKeys />],
  [/^\/keys\/([^/]+)\/([^/]+)$/, "Key", (ns, name) => <KeyPage key={`${ns}/${name}`} {...{ ns, name }} />],
  [/^\/approvals$/, "Approvals", () => <Approvals />],
];

function Portal() {
  if (path.value === SIGNED_IN && me.value) return <SignedIn />;
  if (me.value) return <Inside />;
  if (signedOut.value) return <SignIn />;
  if (meProblem.value) {
    return (
      <main class="gate">
        <Failure problem={meProblem.value} onRetry={() => void loadMe()} />
      </main>
    );
  }
  return (
    <main class="page">
      <Skeleton lines={6} kind="card" />
    </main>
  );
}

function Inside() {
  const main = useRef<HTMLElement>(null);
  const isFirst = useRef(true);
  const here = path.value;
  useEffect(() => {
    if (isFirst.current) isFirst.current = false;
    else main.current?.focus({ preventScroll: true });
  }, [here]);
  return (
    <>
      <a class="skip" href="#main" onClick={() => main.current?.focus()}>
        Skip to content
      </a>
      <Bar />
      {signedOut.value && (
        <p class="note warn banner" role="alert">
          <span>Your session has ended. What you have typed stays here.</span>
          <SignInAgain />
        </p>
      )}
      <main class="page" id="main" ref={main} tabIndex={-1}>
        <Page here={here} />
      </main>
      <IdleNotice />
      <Toasts />
    </>
  );
}

function Page({ here }: { here: string }) {
  const found = PAGES.find(([pattern]) => pattern.test(here));
  useEffect(() => {
    document.title = `${found?.[1] ?? "Not found"} · Portolan`;
  }, [found]);
  const [, ns = "", name = ""] = found?.[0].exec(here) ?? [];
  if (found) return found[2](decoded(ns), decoded(name));
  return (
    <Empty picture="island" title="There is no such page">
      <p class="soft">The address may be mistyped, or from an older version.</p>
      <p>
        <a class="button main" href="/">
          To the catalog
        </a>
      </p>
    </Empty>
  );
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

void loadMe();
let isLive = false;
effect(() => {
  if (!me.value) return;
  if (path.value === SIGNED_IN) {
    tellSignedIn();
  } else if (!isLive) {
    isLive = true;
    startLive();
    watchIdle();
    watchSignIn();
  }
});
const root = document.getElementById("app");
if (root) render(<Portal />, root);
