/** Windows above the page: in its middle, or drawers from a side. Focus stays inside, Escape closes. */

import { X } from "lucide-react";
import type { ReactNode } from "react";
import { Button, Dialog, Heading, Modal, ModalOverlay } from "react-aria-components";

interface Props {
  title: ReactNode;
  isOpen: boolean;
  onClose: () => void;
  children: ReactNode;
  /** Where it stands; the middle when left out. */
  side?: "start" | "end";
  /** True: only its own buttons close it. */
  insists?: boolean;
  role?: "dialog" | "alertdialog";
}

export function Window({ title, isOpen, onClose, children, side, insists = false, role = "dialog" }: Props) {
  const box = side === undefined ? "dialog-box" : `drawer drawer-${side}`;
  return (
    <ModalOverlay
      className={side === undefined ? "veil" : "veil drawer-veil"}
      isOpen={isOpen}
      isDismissable={!insists}
      isKeyboardDismissDisabled={insists}
      onOpenChange={(open) => !open && onClose()}
    >
      <Modal className={box}>
        <Dialog className="dialog" role={role}>
          <div className="dialog-head">
            <Heading slot="title" level={2}>
              {title}
            </Heading>
            {!insists && (
              <Button className="button button-quiet button-icon button-small" aria-label="Close" onPress={onClose}>
                <X size={18} aria-hidden />
              </Button>
            )}
          </div>
          {children}
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}
