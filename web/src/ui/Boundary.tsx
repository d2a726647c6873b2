import { Component, type ReactNode } from "react";

interface Props {
  /** What stands there instead. */
  instead: ReactNode;
  /** Another value tries again. */
  of?: unknown;
  children: ReactNode;
}

/** Keeps what one part cannot draw from taking the whole page with it. */
export class Boundary extends Component<Props, { broken: boolean }> {
  override state = { broken: false };

  static getDerivedStateFromError(): { broken: boolean } {
    return { broken: true };
  }

  override componentDidUpdate(before: Props): void {
    if (this.state.broken && before.of !== this.props.of) this.setState({ broken: false });
  }

  override render(): ReactNode {
    return this.state.broken ? this.props.instead : this.props.children;
  }
}
