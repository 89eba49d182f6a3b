// The host that a request is tried at: one of the route's, or one of those that a name with a wildcard stands for.
import { useState } from "preact/hooks";
import { Choice, Field } from "./fields";
import { firstHost, hostProblem, isWildcard } from "./try-parts";

export interface Host {
  names: string[];
  chosen: string;
  choose: (name: string) => void;
  typed: string;
  type: (text: string) => void;
  /** What is sent; empty where the route has no name. */
  value: string;
  problem: string | undefined;
}

export function useHost(names: string[]): Host {
  const [wanted, choose] = useState<string>();
  const [text, type] = useState<string>();
  const chosen = wanted !== undefined && names.includes(wanted) ? wanted : firstHost(names);
  const typed = text ?? chosen.replace("*", "api");
  const value = isWildcard(chosen) ? typed.trim().toLowerCase() : chosen;
  return { names, chosen, choose, typed, type, value, problem: hostProblem(value, chosen) };
}

export function HostChoice({ names, chosen, choose, typed, type, problem }: Host) {
  if (names.length < 2 && !isWildcard(chosen)) return null;
  const hint = `One that ${chosen} stands for`;
  return (
    <>
      <Choice label="Host" value={chosen} options={names.map((name) => [name, name])} onChange={choose} />
      {isWildcard(chosen) && <Field label="Host name" value={typed} onChange={type} isRequired hint={hint} problem={problem} />}
    </>
  );
}
