// What is shown instead of content: nothing yet, still loading, or a failure.
import type { ComponentChildren } from "preact";
import { cure, type Problem } from "./api";
import { Icon } from "./icons";
import { Picture, type PictureName } from "./pictures";
import { Link } from "./route";
import { signInAddress } from "./session";

interface EmptyProps {
  picture: PictureName;
  title: string;
  children?: ComponentChildren;
}

export function Empty({ picture, title, children }: EmptyProps) {
  return (
    <div class="empty">
      <Picture name={picture} />
      <p class="empty-title">{title}</p>
      {children}
    </div>
  );
}

const TITLES: Record<number, string> = {
  0: "No connection",
  401: "You are signed out",
  403: "You may not see this",
  404: "There is nothing here",
  429: "Slow down a little",
};

export function Failure({ problem, onRetry }: { problem: Problem; onRetry?: () => void }) {
  const picture = problem.status === 404 ? "island" : problem.status === 403 ? "anchor" : "light";
  return (
    <Empty picture={picture} title={TITLES[problem.status] ?? "That did not work"}>
      <p class="soft">{problem.message}</p>
      <p>{cure(problem.status)}</p>
      <p class="row center">
        {problem.status === 401 && (
          <a class="button main" href={signInAddress()}>
            Sign in
          </a>
        )}
        {onRetry && problem.status !== 404 && problem.status !== 401 && (
          <button class="main" type="button" onClick={onRetry}>
            <Icon name="reload" /> Try again
          </button>
        )}
        {problem.status === 404 && (
          <Link class="button plain" to="/">
            To the catalog
          </Link>
        )}
      </p>
    </Empty>
  );
}

/** What somebody sees of a page that is not for him, and the right that would change that. */
export function Denied({ title, permission }: { title: string; permission: string }) {
  return (
    <div class="empty">
      <Picture name="anchor" />
      <h1 class="empty-title">{title}</h1>
      <p class="soft wrap">
        Required permission: <code>{permission}</code>
      </p>
      <p>{cure(403)}</p>
    </div>
  );
}

/** The products of the cluster, refused as a whole. */
export function DeniedProducts() {
  return <Denied title="You don't have permission to view API products" permission="list apiproducts.devportal.kuadrant.io" />;
}

/** What failed while older content stays. */
export function Outdated({ problem, onRetry }: { problem: Problem; onRetry: () => void }) {
  return (
    <p class="note warn">
      <Icon name="alert" />
      <span>
        This may be out of date: {problem.message} <span class="soft">{cure(problem.status)}</span>
      </span>
      <button class="plain" type="button" onClick={onRetry}>
        Try again
      </button>
    </p>
  );
}

export function Skeleton({ lines, kind = "line" }: { lines: number; kind?: "line" | "card" | "table" }) {
  const rows = Array.from({ length: lines }, (_, index) => <span key={index} class={`skeleton ${kind}`} />);
  return (
    <div class={kind === "card" ? "cards" : "skeletons"} aria-busy="true">
      <span class="unseen">Loading</span>
      {rows}
    </div>
  );
}
